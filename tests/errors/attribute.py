# expect: '.sum' is not part of the tile language
# caret: 9:tile.load(x, (0, 4)).sum
# hint: .T, .shape or .dtype


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)).sum
