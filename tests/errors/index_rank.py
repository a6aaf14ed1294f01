# expect: the index has 2 ':' for tile<f32, 4>
# caret: 10:tile.load(x, (0, 4))[:, :]
# hint: one ':' for each axis, None for a new one
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))[:, :]
