# expect: '.T' is for tiles of rank 2, got tile<f32, 4>
# caret: 10:tile.load(x, (0, 4)).T
# hint: tile.transpose(x, axes)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)).T
