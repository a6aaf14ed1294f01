# expect: '**' is not part of the tile language
# caret: 9:at
# hint: name each argument


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, **at)
