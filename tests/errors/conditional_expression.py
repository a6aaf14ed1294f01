# expect: IfExp is not part of the tile language
# caret: 9:1 if i > 0 else 2
# hint: an if statement, or tile.where(c, x, y)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    y = 1 if i > 0 else 2
