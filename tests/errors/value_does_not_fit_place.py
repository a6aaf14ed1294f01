# expect: store: tile<f32, 3> does not fit the (4,) elements addressed in x
# caret: 10:tile.store(x, (0, 4), tile.zeros((3,), tile.f32))
# hint: the value broadcasts to the place
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    tile.store(x, (0, 4), tile.zeros((3,), tile.f32))
