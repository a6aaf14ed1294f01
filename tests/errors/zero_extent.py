# expect: load: an extent must be positive, got 0
# caret: 10:tile.load(x, (0, 0))
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 0))
