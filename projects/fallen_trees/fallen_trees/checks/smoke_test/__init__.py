"""The smoke test: can this recipe learn ten tiles by heart?"""
