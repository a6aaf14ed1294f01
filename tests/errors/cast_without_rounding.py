# expect: cast: f32 to i32 needs round= one of ['away', 'down', 'rne', 'rtz', 'up']
# caret: 10:tile.cast(tile.load(x, (0, 4)), tile.i32)
# hint: tile.cast(x, tile.i32, round="rne")
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.cast(tile.load(x, (0, 4)), tile.i32)
