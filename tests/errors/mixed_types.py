# expect: +: no common type for tile<f32, 4> and tile<i32, 4>; cast one
# caret: 10:tile.load(x, (0, 4)) + tile.load(y, (0, 4))
# hint: tile.cast(x, dtype)
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) + tile.load(y, (0, 4))
