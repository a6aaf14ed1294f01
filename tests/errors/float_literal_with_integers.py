# expect: *: a float literal with tile<i32, 4>; cast the tile first
# caret: 10:tile.load(y, (0, 4)) * 0.5
# hint: tile.cast(x, tile.f32)
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    t = tile.load(y, (0, 4)) * 0.5
