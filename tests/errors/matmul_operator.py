# expect: MatMult is not part of the tile language
# caret: 10:t @= t
# hint: tile.dot(a, b)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
    t @= t
