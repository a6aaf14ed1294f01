# expect: store: i64 does not fit i32; cast first
# caret: 10:tile.store(y, (0, 4), tile.full((4,), 1, tile.i64))
# hint: tile.cast(x, tile.i32)
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    tile.store(y, (0, 4), tile.full((4,), 1, tile.i64))
