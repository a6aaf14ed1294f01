# expect: 'ac' is not bound here
# caret: 11:ac
# hint: did you mean acc
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    acc = 1.0
    tile.store(x, 0, ac)
