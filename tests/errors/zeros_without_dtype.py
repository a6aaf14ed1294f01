# expect: zeros: argument 'dtype' is missing
# caret: 10:tile.zeros((4,))
# hint: zeros(shape, dtype)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.zeros((4,))
