# expect: store: y holds i32, got f32; cast with a named rounding
# caret: 10:tile.store(y, (0, 4), tile.load(x, (0, 4)))
# hint: tile.cast(x, tile.i32, round="rne")
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    tile.store(y, (0, 4), tile.load(x, (0, 4)))
