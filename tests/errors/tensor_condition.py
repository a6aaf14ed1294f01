# expect: a condition must be a scalar, got the tensor x
# caret: 10:x
# hint: x is not None, for an optional tensor
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    if x:
        pass
