"""Dissect networks: which concept does each unit of each layer respond to?"""
