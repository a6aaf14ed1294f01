# expect: 'is' compares with None only
# caret: 9:i is x
# hint: ==


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = i is x
