"""The Kling models of the emulated fal: inputs, outputs and prices, as fal's pages give them.

Loaded with the first use.

models      the table: one line for each endpoint
parts       what inputs and outputs are made of        names     long lists of fixed words (voices.txt, effects.txt)
shots       inputs of v1 to v3                         omni      inputs of O1, O3 and Kling 4.0
performance inputs of motion control, avatars, lip sync, voices, sound
tariffs     how a use is priced
openapi     a model's OpenAPI document
"""
