# expect: '*x' is not part of the tile language
# caret: 7:x
# hint: name every parameter; a tuple carries many values


@tile_kernel
def kernel(*x):
    i = tile.grid(1)
