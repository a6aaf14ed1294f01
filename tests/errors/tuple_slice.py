# expect: a tuple is indexed by one integer
# caret: 11:0:1
# hint: a, b = t binds its parts
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    a = (1, 2)
    b = a[0:1]
