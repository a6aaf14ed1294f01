# expect: cast: tile<f32, 4> to bool is not a cast
# caret: 10:tile.cast(tile.load(x, (0, 4)), tile.bool)
# hint: write x != 0
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.cast(tile.load(x, (0, 4)), tile.bool)
