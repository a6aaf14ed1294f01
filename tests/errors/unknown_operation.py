# expect: 'tile.lode' is not part of the tile language
# caret: 9:tile.lode
# hint: did you mean tile.load


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.lode(x, (0, 4))
