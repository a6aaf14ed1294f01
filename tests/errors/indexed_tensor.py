# expect: only tiles and tuples are indexed, got the tensor x
# caret: 10:x[0]
# hint: tile.load(t, at) reads a tile from a tensor
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = x[0]
