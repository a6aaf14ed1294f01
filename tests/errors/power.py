# expect: Pow is not part of the tile language
# caret: 9:tile.load(x, (0, 4)) ** 2
# hint: x * x, or tile.exp2(y * tile.log2(x))


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) ** 2
