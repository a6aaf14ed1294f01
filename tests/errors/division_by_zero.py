# expect: %: division by zero
# caret: 10:N % 0
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = N % 0
