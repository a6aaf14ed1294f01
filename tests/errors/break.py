# expect: Break is not part of the tile language
# caret: 10:break
# hint: a while loop, or coordinates outside the tensor


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(0, N):
        break
