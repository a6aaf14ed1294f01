# expect: a loop has no else
# caret: 12:pass
# hint: put the statements after the loop


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(0, N):
        pass
    else:
        pass
