# expect: annotation 'u4[N] in i8[N/2]': words must be unsigned and wider than u4, got i8
# caret: 8:u4[N] in i8[N/2]
# hint: u8, u16, u32 or u64
# args: x=f32(8)


@tile_kernel
def kernel(x: "u4[N] in i8[N/2]"):
    i = tile.grid(1)
    pass
