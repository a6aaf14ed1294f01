# expect: where: the condition must be bool, got tile<f32, 4>
# caret: 10:tile.where(tile.load(x, (0, 4)), 1.0, tile.load(x, (0, 4)))
# hint: compare: x != 0
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.where(tile.load(x, (0, 4)), 1.0, tile.load(x, (0, 4)))
