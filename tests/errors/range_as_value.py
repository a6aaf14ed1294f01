# expect: tile.range stands in a for statement only
# caret: 10:tile.range(0, N)
# hint: for k in tile.range(..):
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    r = tile.range(0, N)
