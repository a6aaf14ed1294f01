# expect: +: bool has no arithmetic; cast it or use where
# caret: 11:b + b
# hint: tile.cast(b, tile.i32)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    b = tile.load(x, (0, 4)) > 0
    t = b + b
