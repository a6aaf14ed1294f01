# expect: Starred is not part of the tile language
# caret: 10:*at
# hint:


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    at = (0, 4)
    t = tile.load(x, *at)
