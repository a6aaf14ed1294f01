# expect: grid takes no keyword arguments
# caret: 9:tile.grid(n=1)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(n=1)
