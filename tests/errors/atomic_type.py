# expect: atomic_add: x holds i32, got f32; cast with a named rounding
# caret: 10:tile.atomic_add(x, 0, tile.full((), 1.0, tile.f32))
# hint: tile.cast(x, tile.i32, round="rne")
# args: x=i32(8)


@tile_kernel
def kernel(x: "i32[N]"):
    i = tile.grid(1)
    tile.atomic_add(x, 0, tile.full((), 1.0, tile.f32))
