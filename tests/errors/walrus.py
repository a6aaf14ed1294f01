# expect: NamedExpr is not part of the tile language
# caret: 9:n := 3
# hint:


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, ((n := 3), 4))
