# expect: annotation 'u4[N]': u4 lies in words
# caret: 8:u4[N]
# hint: u4[N] in u8[N/2]
# args: x=f32(8)


@tile_kernel
def kernel(x: "u4[N]"):
    i = tile.grid(1)
    pass
