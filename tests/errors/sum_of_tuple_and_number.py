# expect: (1, 0) + 1 is not defined
# caret: 10:(1, 0) + 1
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    b = (1, 0) + 1
