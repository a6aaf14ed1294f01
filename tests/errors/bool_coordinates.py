# expect: load: an index tile must hold integers, got tile<bool, 4>
# caret: 10:tile.load(x, tile.load(x, (0, 4)) > 0)
# hint: where(keep, i, -1) leaves elements out
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, tile.load(x, (0, 4)) > 0)
