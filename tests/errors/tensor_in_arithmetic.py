# expect: +: the tensor x is not a tile
# caret: 10:x + 1
# hint: tile.load(t, at) reads a tile from it
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = x + 1
