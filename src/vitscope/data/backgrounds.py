"""The backgrounds of the bundled world: quiet grey noise with a natural image's power spectrum.

Natural images have power about 1 / frequency^2 (Field, "Relations between the statistics of
natural images and the response properties of cortical cells", JOSA A 1987). The noise here has
exactly those amplitudes and random phases (random-phase noise: Galerne, Gousseau and Morel,
"Random Phase Textures", IEEE TIP 2011), hence a known contrast in every image. Soft blobs and
strokes lie on it as clutter.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from vitscope.data import counter_random

Array = npt.NDArray[np.floating]

_MAX_FREQUENCIES = 128  # above 224 / 2: one address per frequency, whatever the image size
_REFERENCE_SIZE = 64  # the image size, in pixels, at which the noise has standard deviation 1


@functools.lru_cache(maxsize=8)
def _spectrum(size: int) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Return amplitudes, phase offsets and addresses of the half-plane of frequencies of irfft2.

    Shapes (size, size // 2 + 1). The amplitude is 1 / |frequency|, zero at the mean and at the
    Nyquist frequencies. The offset moves samples from pixel corners to pixel centres, so that all
    sizes show one field.
    """
    ky, kx = np.meshgrid(np.fft.fftfreq(size, 1 / size), np.arange(size // 2 + 1), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(kx, ky), 1)
    # On the axis kx = 0 a frequency and its negative are one wave: keep one, at twice the weight.
    amplitude = np.where(kx == 0, 2 * amplitude * (ky > 0), amplitude)
    amplitude[(np.abs(ky) >= size / 2) | (kx >= size / 2)] = 0
    address = (ky + _MAX_FREQUENCIES) * 2 * _MAX_FREQUENCIES + kx
    offset = np.pi * (kx + ky) / size
    return amplitude, offset, address.astype(np.int64)


@functools.cache
def _reference_deviation() -> float:
    """Return the standard deviation of the unscaled noise at the reference size."""
    amplitude, _, _ = _spectrum(_REFERENCE_SIZE)
    power = 2 * np.sum(amplitude[:, 1:] ** 2) + np.sum(amplitude[:, 0] ** 2) / 2
    return float(np.sqrt(power))


def noise(keys: npt.NDArray[np.uint64], size: int) -> Array:
    """Return fields (n, size, size), float32, mean 0, standard deviation 1, power 1 / frequency^2.

    `keys` (n,): one stream key per image. The fields repeat with the frame's period. Other sizes
    show the same field with more or fewer of its high frequencies; at 224 px these raise the
    deviation to 1.15.
    """
    amplitude, offset, address = _spectrum(size)
    used = amplitude > 0
    turns = counter_random.uniform(keys[:, None], address[used])
    phase = (2 * np.pi * turns + offset[used]).astype(np.float32)
    weight = (amplitude[used] * size**2 / _reference_deviation()).astype(np.float32)
    spectrum = np.zeros((len(keys), *amplitude.shape), dtype=np.complex64)
    spectrum.real[:, used] = weight * np.cos(phase)
    spectrum.imag[:, used] = weight * np.sin(phase)
    return np.fft.irfft2(spectrum, s=(size, size))


def clutter(
    centre: Array, radii: Array, rotation: Array, height: Array, x: Array, y: Array
) -> Array:
    """Return the sum of soft ellipses, (n, size, size), in the unit of `height`.

    `centre`, `radii` (n, blobs, 2): x and y, long and short standard deviation; `rotation`
    (n, blobs): radians; `height` (n, blobs): value at the centre, 0 for none. `x` (size,) and
    `y` (size,): the pixel centres. All lengths share one unit.
    """
    total = np.zeros((len(centre), len(y), len(x)), dtype=np.float32)
    for blob in range(centre.shape[1]):
        dx = x[None, None, :] - centre[:, blob, 0, None, None]
        dy = y[None, :, None] - centre[:, blob, 1, None, None]
        cos, sin = np.cos(rotation[:, blob]), np.sin(rotation[:, blob])
        # exp(-q / 2) with q = a dx^2 + b dx dy + c dy^2: one product per pixel instead of two axes
        p, r = 1 / radii[:, blob, 0] ** 2, 1 / radii[:, blob, 1] ** 2
        a, b, c = cos**2 * p + sin**2 * r, 2 * cos * sin * (p - r), sin**2 * p + cos**2 * r
        q = (-a / 2)[:, None, None] * dx**2 + (-c / 2)[:, None, None] * dy**2
        q = q.astype(np.float32)
        q += ((-b / 2)[:, None, None] * dx).astype(np.float32) * dy.astype(np.float32)
        total += height[:, blob, None, None].astype(np.float32) * np.exp(q)
    return total
