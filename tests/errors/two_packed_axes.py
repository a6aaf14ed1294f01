# expect: annotation 'u4[M, N] in u8[M/2, N/2]': exactly one stored extent must differ, 2 do
# caret: 8:u4[M, N] in u8[M/2, N/2]
# hint: the packed axis is written as N/2
# args: x=f32(8)


@tile_kernel
def kernel(x: "u4[M, N] in u8[M/2, N/2]"):
    i = tile.grid(1)
    pass
