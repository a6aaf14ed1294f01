# expect: List is not part of the tile language
# caret: 9:[1, 2]
# hint: a tuple


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    y = [1, 2]
