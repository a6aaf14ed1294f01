# expect: reshape: tile<f32, 4> to (3, 2): 4 elements cannot become 6
# caret: 10:tile.reshape(tile.load(x, (0, 4)), (3, 2))
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.reshape(tile.load(x, (0, 4)), (3, 2))
