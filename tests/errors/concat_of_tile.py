# expect: concat: expected a tuple of tiles, got tile<f32, 4>
# caret: 10:tile.concat(tile.load(x, (0, 4)), 0)
# hint: tile.concat((x, y), 1)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.concat(tile.load(x, (0, 4)), 0)
