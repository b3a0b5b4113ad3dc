# SPDX-License-Identifier: Apache-2.0
"""A session's model as a file for inference, proven before it gets its name."""
