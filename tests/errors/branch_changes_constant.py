# expect: if: 'n' is 1 in one branch and 0 in the other
# caret: 13:n
# hint: bind it before, to a tile of the same type
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    n = 0
    if i > 0:
        n = 1
    tile.store(x, n, 0.0)
