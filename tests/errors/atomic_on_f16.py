# expect: atomic_add: x must be i32, u32, i64 or f32, got f16
# caret: 10:tile.atomic_add(x, 0, 1.0)
# hint:
# args: x=f16(8)


@tile_kernel
def kernel(x: "f16[N]"):
    i = tile.grid(1)
    tile.atomic_add(x, 0, 1.0)
