# expect: range: stop must be an integer scalar, got 1.5
# caret: 10:tile.range(0, 1.5)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(0, 1.5):
        pass
