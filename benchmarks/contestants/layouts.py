"""The numbers of the networks that all frameworks build, as torchvision's models have them."""

# Of each inception block: features of 1x1; of 1x1 then 3x3; of 1x1 then 3x3 (the paper's 5x5); of 1x1 after pooling.
# A pooling of the given window, stride 2, follows each group but the last.
INCEPTIONS = (
    (((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)), 3),
    (
        (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ),
        2,
    ),
    (((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)), None),
)

# Blocks of each stage, of 64, 128, 256 and 512 features; a bottleneck's last convolution has four times as many.
RESNET18 = (2, 2, 2, 2)
RESNET50 = (3, 4, 6, 3)

# Features and number of convolutions of VGG-16's stages; features and blocks of ConvNeXt-T's.
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
CONVNEXT_TINY = ((96, 192, 384, 768), (3, 3, 9, 3))
