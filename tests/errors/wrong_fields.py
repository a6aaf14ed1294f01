# expect: annotation 'u4[N] in u8[N/4]': the packed axis holds 2 fields to a word, so it must be stored as N/2, got N/4
# caret: 8:u4[N] in u8[N/4]
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "u4[N] in u8[N/4]"):
    i = tile.grid(1)
    pass
