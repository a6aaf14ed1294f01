# expect: ==: a tuple of run-time values is not compared
# caret: 10:(i, 0) == (0, 0)
# hint: compare its parts
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    b = (i, 0) == (0, 0)
