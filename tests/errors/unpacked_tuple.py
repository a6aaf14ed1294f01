# expect: 2 names cannot be bound to 3 values
# caret: 10:a, b
# hint: a tuple unpacks, a tile does not
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    a, b = (1, 2, 3)
