# expect: annotation 'u4[N] in u16[N/4] order 0 2 2 1': order must name each of 0..3 once, got 0 2 2 1
# caret: 8:u4[N] in u16[N/4] order 0 2 2 1
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "u4[N] in u16[N/4] order 0 2 2 1"):
    i = tile.grid(1)
    pass
