# expect: if: 't' is tile<bool> in one branch and tile<f32> in the other
# caret: 13:t
# hint: a name that a loop carries is bound on every path
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, 0)
    for k in tile.range(0, N):
        if k > 2:
            t = t > 0
